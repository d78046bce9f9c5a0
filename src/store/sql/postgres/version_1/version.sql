-- Written last: a store that finds this row has all tables and functions.
INSERT INTO {p}schema (id, version, min_code_version) VALUES (1, 1, 1);
