"""A world of its own: network namespaces, shaped links and processor quotas that the Linux kernel enforces."""
