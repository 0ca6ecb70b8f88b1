"""The networks: one file for each family; its `build(config, num_classes)` makes one."""
