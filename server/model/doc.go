// Package model owns the nouns of the identity server (realm, client, user,
// role, session ...) and the rules about them that need nothing else: effective
// roles, redirect URI matching, lifespans, what a new realm is made of. Their
// JSON is Keycloak's Admin REST representation. It is pure: it must not know
// storage, HTTP, the clock or how a password is hashed.
//
// Nouns are lossless: a struct has fields for what Gatehouse acts on, and its
// embedded Document keeps everything else the JSON held, so that
// json.Marshal(json.Unmarshal(x)) means what x means. A noun read from storage
// may be shared by all requests of a server: Clone it before changing it.
package model
