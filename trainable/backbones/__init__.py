"""The networks. One file a family; `build(config, num_classes)` makes one."""
