"""Build images from a recipe in git and boot them."""
