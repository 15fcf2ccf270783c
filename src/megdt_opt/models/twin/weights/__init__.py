"""Weights of the twin model, data only; `megdt_opt.models.twin.weight_files` reads them."""
