package faultproxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const longest = 256 << 20 // of one bulk string

var errProtocol = errors.New("faultproxy: not the Redis protocol, version 2")

// readCommand returns one command as it was sent, and its name in lower case.
func readCommand(r *bufio.Reader) (raw []byte, name string, err error) {
	line, n, err := header(r)
	if err != nil {
		return nil, "", err
	}
	if line[0] != '*' { // an inline command
		name, _, _ = strings.Cut(strings.TrimSpace(string(line)), " ")
		return line, strings.ToLower(name), nil
	}
	raw = line
	for i := range n {
		bulk, err := readReply(r)
		if err != nil {
			return nil, "", err
		}
		if i == 0 {
			_, word, _ := bytes.Cut(bulk, []byte("\r\n"))
			name = strings.ToLower(string(bytes.TrimSpace(word)))
		}
		raw = append(raw, bulk...)
	}
	return raw, name, nil
}

// readReply returns one reply as it was sent.
func readReply(r *bufio.Reader) ([]byte, error) {
	raw, n, err := header(r)
	if err != nil {
		return nil, err
	}
	switch raw[0] {
	case '+', '-', ':':
		return raw, nil
	case '$':
		return body(r, raw, n)
	case '*':
		for range n {
			part, err := readReply(r)
			if err != nil {
				return nil, err
			}
			raw = append(raw, part...)
		}
		return raw, nil
	}
	return nil, errProtocol
}

func body(r *bufio.Reader, raw []byte, n int) ([]byte, error) {
	switch {
	case n < 0: // null
		return raw, nil
	case n > longest:
		return nil, errProtocol
	}
	at := len(raw)
	raw = append(raw, make([]byte, n+2)...)
	_, err := io.ReadFull(r, raw[at:])
	return raw, err
}

// header reads a line and the number in it, if it is one that has a number.
func header(r *bufio.Reader) (line []byte, n int, err error) {
	line, err = r.ReadBytes('\n')
	if err != nil {
		return nil, 0, err
	}
	if line[0] == '*' || line[0] == '$' {
		if n, err = strconv.Atoi(string(bytes.TrimSpace(line[1:]))); err != nil {
			return nil, 0, errProtocol
		}
	}
	return line, n, nil
}

// deliver sends a request on a connection of its own and returns once it was
// executed.
func deliver(server string, request []byte) error {
	c, err := net.DialTimeout("tcp", server, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err = c.Write(request); err != nil {
		return err
	}
	in, out := bufio.NewReader(bytes.NewReader(request)), bufio.NewReader(c)
	for {
		if _, _, err = readCommand(in); err != nil {
			return nil // no more of them
		}
		if _, err = readReply(out); err != nil {
			return err
		}
	}
}
