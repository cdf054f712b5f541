// ntlm_auth is to Dovecot what Samba's program of this name is (--helper-protocol=squid-2.5-ntlmssp): it checks what
// clients of NTLM send, with gss-ntlmssp, an implementation of MS-NLMP that reads the passwords in USERS.
// "YR token" begins an exchange, "KK token" goes on. Answers: "TT token" challenges, "AF name" accepts, "NA why" refuses.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// RFC 2744: declared here, as the package with its header is needed for nothing else.
typedef struct { size_t length; void *value; } buffer;
typedef void *opaque;
uint32_t gss_accept_sec_context(uint32_t *minor, opaque *context, opaque credential, buffer *in, opaque bindings,
	opaque *name, opaque *mech, buffer *out, uint32_t *flags, uint32_t *lifetime, opaque *delegated);
uint32_t gss_display_name(uint32_t *minor, opaque name, buffer *text, opaque *type);
enum { COMPLETE = 0, CONTINUE_NEEDED = 1 };

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static size_t decode(const char *s, unsigned char *out)
{
	size_t n = 0;
	uint32_t bits = 0;
	const char *digit;
	for (int have = 0; *s && (digit = strchr(digits, *s)); s++) {
		bits = bits << 6 | (uint32_t)(digit - digits);
		if ((have += 6) >= 8)
			out[n++] = (unsigned char)(bits >> (have -= 8));
	}
	return n;
}

static void print_encoded(const unsigned char *in, size_t n)
{
	for (size_t i = 0; i < n; i += 3) {
		uint32_t bits = (uint32_t)in[i] << 16 | (i + 1 < n ? in[i + 1] << 8 : 0) | (i + 2 < n ? in[i + 2] : 0);
		putchar(digits[bits >> 18]);
		putchar(digits[bits >> 12 & 63]);
		putchar(i + 1 < n ? digits[bits >> 6 & 63] : '=');
		putchar(i + 2 < n ? digits[bits & 63] : '=');
	}
}

int main(void)
{
	static char line[1 << 16];
	static unsigned char token[sizeof line];
	opaque context = NULL;
	setenv("NTLM_USER_FILE", USERS, 1);
	while (fgets(line, sizeof line, stdin) && strlen(line) > 3) {
		if (line[0] == 'Y')
			context = NULL;
		buffer in = {decode(line + 3, token), token}, out = {0}, text = {0};
		opaque name = NULL;
		uint32_t minor, unused;
		uint32_t major = gss_accept_sec_context(&minor, &context, NULL, &in, NULL, &name, NULL, &out, NULL, NULL, NULL);
		if (major == CONTINUE_NEEDED) {
			printf("TT ");
			print_encoded(out.value, out.length);
			printf("\n");
		} else if (major == COMPLETE && gss_display_name(&unused, name, &text, NULL) == COMPLETE) {
			printf("AF %.*s\n", (int)text.length, (char *)text.value);
		} else {
			printf("NA %x %x\n", major, minor);
		}
		fflush(stdout);
	}
	return 0;
}
