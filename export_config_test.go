package durable

import "io"

// RedisURL shows tests what OpenAdapter hands to the Redis client.
func RedisURL(c *Config) string { return c.settings.redisURL.Reveal() }

// Closers shows tests what Close closes last.
func Closers(c *Checkpointer) []io.Closer { return c.closers }
