package app

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/speech"
)

// certificates are those of the addresses with TLS; nil where there is none.
type certificates struct{ http, sip *tls.Config }

// check finds what is wrong with settings that only the parts can judge, before anything is opened. The error is config.Faults.
func check(cfg config.Config) (certificates, error) {
	var faults config.Faults
	bad := func(key string, err error) {
		if err != nil {
			faults = append(faults, config.Fault{Key: key, Message: err.Error()})
		}
	}
	var pairs certificates
	var err error
	pairs.http, err = certificate(cfg.HTTPTLSCert, cfg.HTTPTLSKey)
	bad("--http-tls-cert", err)
	pairs.sip, err = certificate(cfg.SIPTLSCert, cfg.SIPTLSKey)
	bad("--sip-tls-cert", err)
	bad("--speech-tts", speech.KnownTTS(cfg.SpeechTTS))
	bad("--speech-stt", speech.KnownSTT(cfg.SpeechSTT))
	if e := fault.Of(firstAdmin(cfg).Check()); e != nil {
		for _, member := range []string{"email", "password", "token"} {
			if f, ok := e.Fields[member]; ok {
				bad("--admin-"+member, errors.New(f.Message))
			}
		}
	}
	if len(faults) > 0 {
		return certificates{}, faults
	}
	return pairs, nil
}

func firstAdmin(cfg config.Config) account.Options {
	return account.Options{Email: cfg.AdminEmail, Password: cfg.AdminPassword, Token: cfg.AdminToken}
}

// certificate loads a pair of PEM files; without names there is none.
func certificate(cert, key string) (*tls.Config, error) {
	if cert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("cannot be used: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
