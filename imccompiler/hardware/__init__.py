"""The machine: schema, presets, loading and variants."""
