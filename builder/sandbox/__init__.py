"""What processes and threads give up before they touch what nobody vouches for: files, networks, privileges.

Landlock (files, networks), no_new_privs, seccomp and capabilities, each where the kernel has it. What was given up
never comes back, and holds for all that is started afterwards.
"""
