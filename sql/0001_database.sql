-- Everything lives in one database of its own, so that grants and backups have one name to speak of.
CREATE DATABASE IF NOT EXISTS {database} {on_cluster}
