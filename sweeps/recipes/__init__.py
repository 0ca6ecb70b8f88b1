"""What papers trained with: one file a paper, its base configs. Studies import recipes, never other studies."""
