"""The stack as the containers of docker-compose.yml."""
