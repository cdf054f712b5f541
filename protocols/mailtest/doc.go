// Package mailtest has scripted mail servers, certificates, a counting proxy, and the one conformance suite that every
// protocols.Session passes; for tests and the demo only.
package mailtest
