"""Weights of the twin model, data only; `megdt_opt.twin.weight_files` reads them."""
