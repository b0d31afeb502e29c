package durable

// RedisURL shows tests what OpenAdapter hands to the Redis client.
func RedisURL(c *Config) string { return c.settings.redisURL.Reveal() }
