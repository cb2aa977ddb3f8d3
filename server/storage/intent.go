package storage

import "context"

type intentKey struct{}

// Intend says which user sessions a ChangeSessions that is given the context is
// going to write. A decorator that has to prepare such a write does it before
// the transaction begins; what is written without notice may cost a second one.
func Intend(ctx context.Context, keys ...SessionKey) context.Context {
	return context.WithValue(ctx, intentKey{}, keys)
}

// Intended are the user sessions that Intend was told of.
func Intended(ctx context.Context) []SessionKey {
	keys, _ := ctx.Value(intentKey{}).([]SessionKey)
	return keys
}
