"""Machine descriptions named after published chips, one YAML file each."""
