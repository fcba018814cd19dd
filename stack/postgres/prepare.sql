-- Once on a new cluster, as the superuser: the standby's slot, and the application's user and database.

CREATE ROLE linkstorm LOGIN;
CREATE DATABASE linkstorm OWNER linkstorm;
SELECT pg_create_physical_replication_slot('replica', true);
