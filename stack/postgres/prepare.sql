-- Run once on a new cluster, as superuser: the slot of its first replica, the application's user and database.

CREATE ROLE linkstorm LOGIN;
GRANT pg_read_all_stats TO linkstorm; -- to see which timeline a replica follows
CREATE DATABASE linkstorm OWNER linkstorm;
SELECT pg_create_physical_replication_slot('postgres_2', true);
