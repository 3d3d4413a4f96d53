package openapi

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestPublishedExample is the worked example at the end of JD Cloud's page "Signature Algorithm".
func TestPublishedExample(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "http://test.jdcloud-api.com/v1/resource:action?p1=p1&p0=p0&o=%25&u=u", nil)
	r.RequestURI = "/v1/resource:action?p1=p1&p0=p0&o=%&u=u"
	r.Header.Set("x-jdcloud-date", "20190214T104514Z")
	r.Header.Set("x-jdcloud-nonce", "testnonce")
	r.Header.Set("x-my-header", "test")
	r.Header.Set("x-my-header_blank", " blank")
	const header = "JDCLOUD2-HMAC-SHA256 Credential=TESTAK/20190214/cn-north-1/test/jdcloud2_request, " +
		"SignedHeaders=x-jdcloud-date;x-jdcloud-nonce;x-my-header;x-my-header_blank, " +
		"Signature=2a98f83c074e7bee260bfc8ef64f009c07595bd93f7f0c3f4e156bf6479ed9bf"
	a, err := parseAuthorization(header)
	if err != nil {
		t.Fatal(err)
	}
	const canonical = "POST\n/v1/resource%3Aaction\no=%25&p0=p0&p1=p1&u=u\n" +
		"x-jdcloud-date:20190214T104514Z\nx-jdcloud-nonce:testnonce\nx-my-header:test\nx-my-header_blank:blank\n\n" +
		"x-jdcloud-date;x-jdcloud-nonce;x-my-header;x-my-header_blank\n" +
		"e51832a118eeff7ad976d635b7d04538e362e4c21bd0f6253580b0a83a209074"
	if got := canonicalRequest(r, []byte("body data"), a.headers); got != canonical {
		t.Errorf("canonical request:\n%s\nwant:\n%s", got, canonical)
	}
	if err := a.verify(r, []byte("body data"), "TESTSK"); err != nil {
		t.Error(err)
	}
	if err := a.verify(r, []byte("body data"), "TESTSL"); err == nil {
		t.Error("another secret is taken for the right one")
	}
}
