"""A lean HTTP/1.1 client: `client` keeps connections by origin, `connection` speaks, `proxies` knows the way out."""
