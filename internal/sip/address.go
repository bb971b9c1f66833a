package sip

import "strings"

// address is a name-addr or addr-spec with header parameters: From, To, Contact, Route (RFC 3261 §20.10).
type address struct {
	display string
	text    string // the URI as written
	uri     URI
	params  string
}

func (a *address) parse(value string) bool {
	*a = address{}
	if strings.HasPrefix(value, `"`) {
		end := 1
		for end < len(value) && value[end] != '"' {
			if value[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(value) {
			return false
		}
		a.display = unquote(value[:end+1])
		value = strings.TrimLeft(value[end+1:], " \t")
		if !strings.HasPrefix(value, "<") {
			return false
		}
	}
	open := strings.IndexByte(value, '<')
	if open < 0 { // without brackets all parameters belong to the header
		a.text, a.params, _ = strings.Cut(value, ";")
		a.text = strings.TrimRight(a.text, " \t")
		return a.readURI() && balanced(a.params)
	}
	if open > 0 {
		a.display = strings.Trim(value[:open], " \t")
		if strings.ContainsAny(a.display, `",;@<>`) {
			return false
		}
	}
	closing := strings.IndexByte(value[open:], '>')
	if closing < 0 {
		return false
	}
	a.text = strings.Trim(value[open+1:open+closing], " \t")
	tail := strings.Trim(value[open+closing+1:], " \t")
	if tail != "" && tail[0] != ';' {
		return false
	}
	a.params = strings.TrimPrefix(tail, ";")
	return a.readURI() && balanced(a.params)
}

func (a *address) readURI() (ok bool) {
	a.uri, ok = ParseURI(a.text)
	return ok
}

// hollow says that a header has separators with nothing between them (RFC 4475 §3.1.2.1).
func hollow(value string) bool {
	for part := range splitParams(value) {
		if strings.Trim(part, " \t,") == "" && part != value {
			return true
		}
	}
	return false
}

func balanced(s string) bool { return strings.Count(s, `"`)%2 == 0 }

func (a *address) tag() string {
	tag, _ := param(a.params, "tag")
	return tag
}

// via is the top Via header (RFC 3261 §20.42).
type via struct {
	transport string // upper case
	host      string
	port      int
	branch    string
	rport     bool // asked for, RFC 3581
	rest      int  // where the first element ends in its line
}

func (v *via) parse(line string) bool {
	*v = via{}
	v.rest = indexOutside(line, ',')
	if v.rest < 0 {
		v.rest = len(line)
	}
	value := line[:v.rest]
	protocol, value, ok := strings.Cut(value, "/")
	version, value, ok2 := strings.Cut(value, "/")
	if !ok || !ok2 || !strings.EqualFold(strings.Trim(protocol, " \t"), "SIP") || strings.Trim(version, " \t") == "" {
		return false
	}
	value = strings.TrimLeft(value, " \t")
	end := strings.IndexAny(value, " \t")
	if end <= 0 || !isToken(value[:end]) {
		return false
	}
	v.transport = strings.ToUpper(value[:end])
	sentBy, params, _ := strings.Cut(value[end:], ";")
	sentBy = strings.ReplaceAll(strings.Trim(sentBy, " \t"), " ", "")
	if v.host, v.port, ok = splitHostPort(sentBy); !ok {
		return false
	}
	if v.port == 0 {
		v.port = 5060
		if v.transport == "TLS" {
			v.port = 5061
		}
	}
	if hollow(line) {
		return false
	}
	v.branch, _ = param(params, "branch")
	rport, asked := param(params, "rport")
	v.rport = asked && rport == ""
	return true
}

// reply is the Via line to send back: received and rport filled in (RFC 3261 §18.2.1, RFC 3581 §4).
func (v *via) reply(line string, source flow) string {
	top, rest := line[:v.rest], line[v.rest:]
	ip := source.remote.Addr().Unmap().String()
	if !v.rport && v.host == ip {
		return line
	}
	parts := make([]string, 0, 6)
	for part := range splitParams(top) {
		key, _, _ := strings.Cut(strings.Trim(part, " \t"), "=")
		if key = strings.Trim(key, " \t"); strings.EqualFold(key, "received") || strings.EqualFold(key, "rport") {
			continue
		}
		parts = append(parts, part)
	}
	parts = append(parts, "received="+ip)
	if v.rport {
		parts = append(parts, "rport="+itoa(int(source.remote.Port())))
	}
	return strings.Join(parts, ";") + rest
}
