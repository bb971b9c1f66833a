package account

import (
	"context"
	"io"
	"strings"

	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
)

// pictureKinds are the content types of avatars by the ending of their keys.
var pictureKinds = map[string]string{"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}

// PutAvatar keeps the picture as "avatar/<user>.<ext>", ext being png, jpg or webp, and notes its address; fault.Unavailable when the server keeps
// no objects.
func (s *Service) PutAvatar(ctx context.Context, by Asker, user, ext string, picture io.Reader) (User, error) {
	if s.parts.Objects == nil {
		return User{}, fault.New(fault.Unavailable)
	}
	u, err := s.User(ctx, by, user)
	if err != nil {
		return User{}, err
	}
	if err := by.mayChange(&u); err != nil {
		return User{}, err
	}
	key := "avatar/" + u.ID + "." + ext
	if _, _, err := s.parts.Objects.Put(ctx, key, picture); err != nil {
		return User{}, err
	}
	if u, err = s.SetAvatar(ctx, by, user, s.cfg.ObjectURL+"/"+key); err != nil {
		return User{}, err
	}
	return u, s.dropPictures(ctx, u.ID, ext)
}

// RemoveAvatar forgets the picture and removes it where it was kept here.
func (s *Service) RemoveAvatar(ctx context.Context, by Asker, user string) (User, error) {
	u, err := s.SetAvatar(ctx, by, user, "")
	if err != nil || s.parts.Objects == nil {
		return u, err
	}
	return u, s.dropPictures(ctx, u.ID, "")
}

// dropPictures removes a user's pictures of all kinds but one.
func (s *Service) dropPictures(ctx context.Context, user, but string) error {
	for ext := range pictureKinds {
		if ext == but {
			continue
		}
		if err := s.parts.Objects.Delete(ctx, "avatar/"+user+"."+ext); err != nil {
			return err
		}
	}
	return nil
}

// openAvatar opens "<user>.<ext>" for reading; fault.NotFound for everything else.
func (s *Service) openAvatar(ctx context.Context, file string) (body io.ReadSeekCloser, kind string, err error) {
	user, ext, _ := strings.Cut(file, ".")
	kind = pictureKinds[ext]
	if s.parts.Objects == nil || kind == "" || !ident.Valid(user) {
		return nil, "", fault.New(fault.NotFound)
	}
	body, _, err = s.parts.Objects.Open(ctx, "avatar/"+strings.ToLower(user)+"."+ext)
	if err != nil {
		return nil, "", fault.Wrap(fault.NotFound, err)
	}
	return body, kind, nil
}
