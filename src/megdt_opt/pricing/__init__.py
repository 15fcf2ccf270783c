"""Problems scaled to budgets of one, and what each option costs at given prices."""
