"""Programs in the formats of other tools."""
