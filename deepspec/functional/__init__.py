"""Pure tensor maths, no state."""
