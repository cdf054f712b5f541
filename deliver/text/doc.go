// Package text changes the bytes of a message on their way: line ends (stripcr, forcecr), the final newline, and the
// decoding of quoted-printable text (mimedecode).
//
// Both filters are writers in front of a writer. They work in constant memory, allocate nothing per line, and give the
// same output however their input is cut into pieces.
package text
