"""Tasks that a policy is pretrained on, and the runs that make and test one."""
