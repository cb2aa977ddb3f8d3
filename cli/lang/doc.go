// Package lang owns the command line's language: it reads one line as an
// operation on a resource, in the syntax of jboss-cli, and says in which column
// a mistake is. It must not know what resources or operations there are, nor
// who runs them; package profiles does.
//
//	/profile=web/subsystem=identity/theme=defaults/:write-attribute(name=default,value=blue){comment="as agreed"}
package lang
