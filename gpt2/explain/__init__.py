"""What a component does: traced, attributed, switched off."""
