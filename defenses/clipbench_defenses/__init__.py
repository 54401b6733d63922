"""Built-in defenses of clipbench, one file each; the file name is the plugin's name."""
