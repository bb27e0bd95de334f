"""MariaDB and MySQL, over aiomysql."""
