"""What a solved problem says about changes: prices of budgets, wrong timings, another plan from the last one."""
