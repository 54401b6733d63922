"""Published protocols as YAML files: the authors' settings, and where ours differ."""
