"""Best shares of the budgets for given options."""
