// Command apidoc writes the API manual, docs/api, from the comments of the proto files: `make docs`. It reads an image as
// `buf build -o -` makes it, source information included.
//
// The manual is never written by hand: the comments are the contract, and CI compares.
package main
