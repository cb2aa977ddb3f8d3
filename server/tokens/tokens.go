// Package tokens owns what is inside the tokens of OpenID Connect: which claims
// a client gets about a user, in which order, by which scopes and protocol
// mappers, signed by which key, and what a token that comes back is worth. It
// knows no request, no cookie and no grant.
package tokens
