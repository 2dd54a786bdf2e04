"""What happens without a component: switched off, patched, over pairs of prompts."""
