"""The mathematical programs, one a file; import them as `megdt_opt.formulations.<name>`."""

if __name__ != "megdt_opt.formulations":
    raise ImportError(
        f"this folder was imported as {__name__!r}, which would make a second copy of every module; "
        "install the package and import megdt_opt.formulations"
    )
