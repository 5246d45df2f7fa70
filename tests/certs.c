/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "certs.h"

struct made {
	char *name;
	X509 *certificate;
	EVP_PKEY *key;
};

struct certs {
	char directory[64];
	struct made *made;
	size_t made_count;
	char **paths;
	size_t paths_count;
};

static void insist(bool is_ok, const char *what)
{
	if (is_ok)
		return;
	fprintf(stderr, "certs: %s failed\n", what);
	abort();
}

/* Room for one more, in steps of 64. */
static void *grow(void *array, size_t count, size_t size)
{
	if (count % 64 == 0)
		array = realloc(array, (count + 64) * size);
	insist(array != NULL, "memory");
	return array;
}

struct certs *certs_new(void)
{
	struct certs *certs = calloc(1, sizeof(*certs));

	insist(certs != NULL, "memory");
	strcpy(certs->directory, "/tmp/uidrecv-certs-XXXXXX");
	insist(mkdtemp(certs->directory) != NULL, "temporary directory");
	return certs;
}

static void remove_files(const char *directory)
{
	DIR *listing = opendir(directory);
	struct dirent *entry;

	insist(listing != NULL, directory);
	while ((entry = readdir(listing)))
		unlinkat(dirfd(listing), entry->d_name, 0);
	closedir(listing);
	rmdir(directory);
}

void certs_free(struct certs *certs)
{
	if (!certs)
		return;
	remove_files(certs->directory);
	for (size_t i = 0; i < certs->made_count; i++) {
		free(certs->made[i].name);
		X509_free(certs->made[i].certificate);
		EVP_PKEY_free(certs->made[i].key);
	}
	for (size_t i = 0; i < certs->paths_count; i++)
		free(certs->paths[i]);
	free(certs->made);
	free(certs->paths);
	free(certs);
}

const char *certs_path(struct certs *certs, const char *file)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", certs->directory, file);
	for (size_t i = 0; i < certs->paths_count; i++) {
		if (strcmp(certs->paths[i], path) == 0)
			return certs->paths[i];
	}
	certs->paths = (char **)grow((void *)certs->paths, certs->paths_count,
				     sizeof(*certs->paths));
	certs->paths[certs->paths_count] = strdup(path);
	insist(certs->paths[certs->paths_count] != NULL, "memory");
	return certs->paths[certs->paths_count++];
}

static FILE *create(struct certs *certs, const char *file)
{
	int fd = open(certs_path(certs, file),
		      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FILE *stream = fd < 0 ? NULL : fdopen(fd, "w");

	insist(stream != NULL, file);
	return stream;
}

static const struct made *find(const struct certs *certs, const char *name)
{
	for (size_t i = 0; i < certs->made_count; i++) {
		if (strcmp(certs->made[i].name, name) == 0)
			return &certs->made[i];
	}
	insist(false, name);
	return NULL;
}

static void set_time(ASN1_TIME *time, int64_t offset_s, int64_t otherwise_s)
{
	insist(X509_gmtime_adj(time, offset_s ? offset_s : otherwise_s) != NULL,
	       "time");
}

static void set_serial(ASN1_INTEGER *serial, size_t number)
{
	insist(ASN1_INTEGER_set_uint64(serial, 0x1000 + number), "serial");
}

static void set_subject(X509 *certificate, const struct certs_spec *spec)
{
	const char *text = spec->subject ? spec->subject : spec->name;
	X509_NAME *name = X509_get_subject_name(certificate);
	size_t size = strlen(text);
	unsigned char bytes[128] = {0};

	insist(size <= 64, "length of the subject");
	for (size_t i = 0; i < size; i++)
		bytes[spec->is_bmp ? 2 * i + 1 : i] = (unsigned char)text[i];
	insist(X509_NAME_add_entry_by_NID(
		   name, NID_commonName,
		   spec->is_bmp ? V_ASN1_BMPSTRING : V_ASN1_UTF8STRING, bytes,
		   (int)(spec->is_bmp ? 2 * size : size), -1, 0),
	       "subject");
}

static void add_extension(X509 *certificate, X509 *issuer, int nid,
			  const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	insist(extension != NULL, value);
	insist(X509_add_ext(certificate, extension, -1), value);
	X509_EXTENSION_free(extension);
}

static void add_names(X509 *certificate, const struct certs_spec *spec)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	const struct certs_name *wanted = spec->names;
	ASN1_STRING *text;
	GENERAL_NAME *name;

	for (size_t i = 0; i < spec->names_count; i++) {
		text = wanted[i].type == CERTS_IP ? ASN1_OCTET_STRING_new()
						  : ASN1_IA5STRING_new();
		name = GENERAL_NAME_new();
		insist(text && name &&
			   ASN1_STRING_set(text, wanted[i].bytes,
					   (int)wanted[i].size),
		       "name");
		GENERAL_NAME_set0_value(name, (int)wanted[i].type, text);
		insist(sk_GENERAL_NAME_push(names, name) > 0, "name");
	}
	insist(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0,
				 X509V3_ADD_APPEND),
	       "names");
	GENERAL_NAMES_free(names);
}

static void add_extensions(X509 *certificate, X509 *issuer,
			   const struct certs_spec *spec)
{
	const char *usage = spec->usage ? spec->usage : "clientAuth,serverAuth";
	bool is_ca = spec->is_authority;

	add_extension(certificate, issuer, NID_basic_constraints,
		      is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	add_extension(certificate, issuer, NID_key_usage,
		      is_ca ? "critical,keyCertSign,cRLSign,digitalSignature"
			    : "critical,digitalSignature");
	if (!spec->has_no_key_ids) {
		add_extension(certificate, issuer, NID_subject_key_identifier,
			      "hash");
		add_extension(certificate, issuer, NID_authority_key_identifier,
			      "keyid:always");
	}
	if (*usage && !(is_ca && !spec->usage))
		add_extension(certificate, issuer, NID_ext_key_usage, usage);
	if (spec->names)
		add_names(certificate, spec);
	else if (spec->san)
		add_extension(certificate, issuer, NID_subject_alt_name,
			      spec->san);
}

static void write_pem(struct certs *certs, const struct made *made)
{
	char file[300];
	FILE *stream;

	snprintf(file, sizeof(file), "%s.pem", made->name);
	stream = create(certs, file);
	insist(PEM_write_X509(stream, made->certificate), file);
	fclose(stream);
	snprintf(file, sizeof(file), "%s-key.pem", made->name);
	stream = create(certs, file);
	insist(
	    PEM_write_PrivateKey(stream, made->key, NULL, NULL, 0, NULL, NULL),
	    file);
	fclose(stream);
}

static EVP_PKEY *make_key(const struct certs *certs,
			  const struct certs_spec *spec)
{
	EVP_PKEY *key;

	if (spec->key) {
		key = find(certs, spec->key)->key;
		return EVP_PKEY_up_ref(key) ? key : NULL;
	}
	return spec->rsa_bits ? EVP_RSA_gen(spec->rsa_bits)
			      : EVP_EC_gen("P-256");
}

void certs_make(struct certs *certs, const struct certs_spec *spec)
{
	struct made *made;
	const struct made *issuer;
	X509 *certificate = X509_new();

	insist(certificate != NULL, "certificate");
	certs->made =
	    grow(certs->made, certs->made_count, sizeof(*certs->made));
	made = &certs->made[certs->made_count];
	made->name = strdup(spec->name);
	made->certificate = certificate;
	made->key = make_key(certs, spec);
	insist(made->name && made->key, "key");
	certs->made_count++;
	issuer = spec->issuer ? find(certs, spec->issuer) : made;
	X509_set_version(certificate, X509_VERSION_3);
	set_serial(X509_get_serialNumber(certificate), certs->made_count);
	set_time(X509_getm_notBefore(certificate), spec->starts_s, -3600);
	set_time(X509_getm_notAfter(certificate), spec->ends_s, 86400);
	set_subject(certificate, spec);
	X509_set_issuer_name(certificate,
			     X509_get_subject_name(issuer->certificate));
	X509_set_pubkey(certificate, made->key);
	add_extensions(certificate, issuer->certificate, spec);
	insist(X509_sign(certificate, issuer->key, EVP_sha256()), "signing");
	write_pem(certs, made);
}

void certs_sign(struct certs *certs, X509 *certificate, const char *issuer)
{
	insist(X509_sign(certificate, find(certs, issuer)->key, EVP_sha256()),
	       "signing");
}

static void add_revoked(X509_CRL *crl, const struct made *made)
{
	X509_REVOKED *revoked = X509_REVOKED_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, 0);

	insist(revoked && now &&
		   X509_REVOKED_set_serialNumber(
		       revoked, X509_get_serialNumber(made->certificate)) &&
		   X509_REVOKED_set_revocationDate(revoked, now) &&
		   X509_CRL_add0_revoked(crl, revoked),
	       "revoking");
	ASN1_TIME_free(now);
}

static void sign_crl(X509_CRL *crl, const struct made *issuer)
{
	X509_EXTENSION *extension;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer->certificate, NULL, NULL, crl, 0);
	extension = X509V3_EXT_conf_nid(
	    NULL, &ctx, NID_authority_key_identifier, "keyid:always");
	insist(extension && X509_CRL_add_ext(crl, extension, -1), "extension");
	X509_EXTENSION_free(extension);
	X509_CRL_sort(crl);
	insist(X509_CRL_sign(crl, issuer->key, EVP_sha256()), "signing");
}

void certs_make_crl(struct certs *certs, const struct certs_crl *spec)
{
	const struct made *issuer = find(certs, spec->issuer);
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *time = ASN1_TIME_new();
	FILE *stream;

	insist(crl && time, "memory");
	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl,
				 X509_get_subject_name(issuer->certificate));
	set_time(time, spec->starts_s, -3600);
	X509_CRL_set1_lastUpdate(crl, time);
	set_time(time, spec->ends_s, 86400);
	X509_CRL_set1_nextUpdate(crl, time);
	ASN1_TIME_free(time);
	if (spec->revoked)
		add_revoked(crl, find(certs, spec->revoked));
	sign_crl(crl, issuer);
	stream = create(certs, spec->file);
	insist(PEM_write_X509_CRL(stream, crl), spec->file);
	fclose(stream);
	X509_CRL_free(crl);
}

void certs_protect_key(struct certs *certs, const char *name, const char *file,
		       const char *passphrase)
{
	FILE *stream = create(certs, file);

	insist(PEM_write_PKCS8PrivateKey(stream, find(certs, name)->key,
					 EVP_aes_256_cbc(), passphrase,
					 (int)strlen(passphrase), NULL, NULL),
	       file);
	fclose(stream);
}

static void copy(struct certs *certs, FILE *to, const char *file)
{
	FILE *from = fopen(certs_path(certs, file), "re");
	int byte;

	insist(from != NULL, file);
	while ((byte = fgetc(from)) != EOF)
		fputc(byte, to);
	fclose(from);
}

void certs_join(struct certs *certs, const char *file, const char *first,
		const char *second)
{
	FILE *stream = create(certs, file);

	copy(certs, stream, first);
	copy(certs, stream, second);
	fclose(stream);
}

void certs_append(struct certs *certs, const char *file, const char *added)
{
	FILE *stream = fopen(certs_path(certs, file), "ae");

	insist(stream != NULL, file);
	copy(certs, stream, added);
	fclose(stream);
}

void certs_write(struct certs *certs, const char *file, const char *text)
{
	FILE *stream = create(certs, file);

	fputs(text, stream);
	fclose(stream);
}

struct certs *certs_new_basic(const char *agent, ...)
{
	struct certs *certs = certs_new();
	char san[300];
	va_list agents;

	certs_make(certs,
		   &(struct certs_spec){.name = "ca", .is_authority = true});
	certs_make(certs, &(struct certs_spec){
			      .name = "receiver",
			      .issuer = "ca",
			      .san = "DNS:localhost,DNS:receiver,IP:127.0.0.1,"
				     "IP:::1",
			  });
	va_start(agents, agent);
	for (; agent; agent = va_arg(agents, const char *)) {
		snprintf(san, sizeof(san), "DNS:%s", agent);
		certs_make(certs, &(struct certs_spec){.name = agent,
						       .issuer = "ca",
						       .san = san});
	}
	va_end(agents);
	return certs;
}
