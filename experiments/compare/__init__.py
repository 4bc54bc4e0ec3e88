"""Two scored runs beside each other: changes, --fail-if, power."""
