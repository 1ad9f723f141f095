"""The `imc` dialect on xDSL: decisions, operations, text form and the weight store."""
