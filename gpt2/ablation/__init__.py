"""What a component is for, asked of models trained without it: variants, study, statistics, report."""
