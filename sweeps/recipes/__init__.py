"""The settings of papers: one file of base configs per paper. Studies import recipes, never other studies."""
