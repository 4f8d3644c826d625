"""The whole job in one process, without any server."""
