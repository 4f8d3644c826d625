-- `audit` without --repair, and `report`: reads everything of the database, changes nothing.
GRANT SELECT ON {database}.* TO {user};
