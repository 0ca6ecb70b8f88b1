"""From a folder of recordings to clips and splits, whatever the corpus."""
