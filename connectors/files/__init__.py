"""Files that are expected to arrive in a folder, here or on a server with SFTP."""
