//! Responses as a SAML provider writes them, signed by xmlsec with the test keys of `certs/`: for tests of the library and of the gateway, who change them.
//!
//! Knows nothing of the crate, so that both can include it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use samael::crypto::{Crypto, CryptoProvider as _};

pub(crate) const IDP: &str = "https://idp.test/metadata";
pub(crate) const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
pub(crate) const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
pub(crate) const EXC: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
pub(crate) const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";

/// A response to be: fields are texts, so that each can be wrong.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    /// Of the provider; `IDP` unless a test says otherwise.
    pub(crate) issuer: String,
    /// `IssueInstant`.
    pub(crate) now: String,
    /// Attributes of `samlp:Response` after `ID`, `Version`, `IssueInstant`.
    pub(crate) response_attributes: String,
    pub(crate) status: String,
    pub(crate) subject: String,
    pub(crate) conditions: String,
    pub(crate) authn: String,
    pub(crate) attributes: String,
    pub(crate) assertion_id: String,
    pub(crate) sign_response: bool,
    pub(crate) sign_assertion: bool,
    /// File of the private key in `certs/`.
    pub(crate) key: &'static str,
    pub(crate) algorithm: &'static str,
    pub(crate) digest: &'static str,
    pub(crate) transforms: Vec<&'static str>,
    /// Put into every `ds:KeyInfo`.
    pub(crate) key_info: String,
}

impl Draft {
    pub(crate) fn new(request: &str, acs: &str, audience: &str, now: &str, until: &str) -> Self {
        let persistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
        Self {
            issuer: IDP.to_owned(),
            now: now.to_owned(),
            response_attributes: format!("Destination=\"{acs}\" InResponseTo=\"{request}\""),
            status: "<samlp:Status><samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/></samlp:Status>".to_owned(),
            subject: format!(
                "<saml:Subject><saml:NameID Format=\"{persistent}\">ada-7</saml:NameID><saml:SubjectConfirmation \
                 Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"><saml:SubjectConfirmationData NotOnOrAfter=\"{until}\" Recipient=\"{acs}\" \
                 InResponseTo=\"{request}\"/></saml:SubjectConfirmation></saml:Subject>"
            ),
            conditions: format!(
                "<saml:Conditions NotBefore=\"{now}\" NotOnOrAfter=\"{until}\"><saml:AudienceRestriction><saml:Audience>{audience}</saml:Audience>\
                 </saml:AudienceRestriction></saml:Conditions>"
            ),
            authn: format!(
                "<saml:AuthnStatement AuthnInstant=\"{now}\" SessionIndex=\"_s1\"><saml:AuthnContext><saml:AuthnContextClassRef>\
                 urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>"
            ),
            attributes: attribute("mail", &["ada@example.com"]) + &attribute("groups", &["staff", "r&d <x>"]),
            assertion_id: "_a1".to_owned(),
            sign_response: false,
            sign_assertion: true,
            key: "saml-idp.key",
            algorithm: RSA_SHA256,
            digest: SHA256,
            transforms: vec![ENVELOPED, EXC],
            key_info: String::new(),
        }
    }

    /// The assertion, signed if it is to be.
    pub(crate) fn assertion(&self) -> String {
        let Self { now, issuer, assertion_id, subject, conditions, authn, attributes, .. } = self;
        let signature = if self.sign_assertion { self.signature(assertion_id) } else { String::new() };
        let text = format!(
            "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" ID=\"{assertion_id}\" \
             Version=\"2.0\" IssueInstant=\"{now}\"><saml:Issuer>{issuer}</saml:Issuer>{signature}{subject}{conditions}{authn}\
             <saml:AttributeStatement>{attributes}</saml:AttributeStatement></saml:Assertion>"
        );
        if self.sign_assertion { sign(&text, self.key) } else { text }
    }

    /// The response with its assertion.
    pub(crate) fn response(&self) -> String {
        self.around(&self.assertion())
    }

    /// A response around something else.
    pub(crate) fn around(&self, content: &str) -> String {
        let Self { now, issuer, status, response_attributes, .. } = self;
        let signature = if self.sign_response { self.signature("_r1") } else { String::new() };
        let text = format!(
            "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" ID=\"_r1\" Version=\"2.0\" IssueInstant=\"{now}\" \
             {response_attributes}><saml:Issuer xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\">{issuer}</saml:Issuer>{signature}{status}{content}</samlp:Response>"
        );
        if self.sign_response { sign(&text, self.key) } else { text }
    }

    fn signature(&self, id: &str) -> String {
        let Self { algorithm, digest, key_info, .. } = self;
        let transforms = self.transforms.iter().map(|transform| format!("<ds:Transform Algorithm=\"{transform}\"/>")).collect::<Vec<_>>().concat();
        let key_info = if key_info.is_empty() { String::new() } else { format!("<ds:KeyInfo>{key_info}</ds:KeyInfo>") };
        format!(
            "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm=\"{EXC}\"/>\
             <ds:SignatureMethod Algorithm=\"{algorithm}\"/><ds:Reference URI=\"#{id}\"><ds:Transforms>{transforms}</ds:Transforms>\
             <ds:DigestMethod Algorithm=\"{digest}\"/><ds:DigestValue></ds:DigestValue></ds:Reference></ds:SignedInfo><ds:SignatureValue></ds:SignatureValue>\
             {key_info}</ds:Signature>"
        )
    }
}

pub(crate) fn attribute(name: &str, values: &[&str]) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let values = values.iter().map(|value| format!("<saml:AttributeValue>{}</saml:AttributeValue>", escaped(value))).collect::<Vec<_>>().concat();
    format!("<saml:Attribute Name=\"{name}\">{values}</saml:Attribute>")
}

/// Signs the first empty signature of a document.
pub(crate) fn sign(text: &str, key: &str) -> String {
    let key = PrivateKeyDer::from_pem_file(format!("{}/certs/{key}", env!("CARGO_MANIFEST_DIR"))).expect("a key");
    let signed = Crypto::sign_xml(text, key.secret_der()).expect("a signature");
    signed.split_once("?>").expect("a declaration").1.trim().to_owned()
}

/// The base64 of a certificate of `certs/`.
pub(crate) fn certificate(name: &str) -> String {
    STANDARD.encode(rustls_pki_types::CertificateDer::from_pem_file(format!("{}/certs/{name}", env!("CARGO_MANIFEST_DIR"))).expect("a certificate"))
}

/// Metadata of a provider at `origin` with these certificates.
pub(crate) fn metadata(origin: &str, certificates: &[&str]) -> String {
    let keys = certificates
        .iter()
        .map(|name| {
            format!(
                "<md:KeyDescriptor use=\"signing\"><ds:KeyInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:X509Data><ds:X509Certificate>\n{}\n\
                 </ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>",
                certificate(name)
            )
        })
        .collect::<Vec<_>>()
        .concat();
    format!(
        "<?xml version=\"1.0\"?>\n<md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"{IDP}\"><md:IDPSSODescriptor \
         protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\">{keys}<md:SingleLogoutService \
         Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" Location=\"{origin}/slo\"/><md:SingleSignOnService \
         Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" Location=\"{origin}/sso\"/></md:IDPSSODescriptor></md:EntityDescriptor>"
    )
}

/// RSA-SHA256 over a text.
pub(crate) fn rsa_sha256(text: &str, key: &str) -> Vec<u8> {
    let PrivateKeyDer::Pkcs8(key) = PrivateKeyDer::from_pem_file(format!("{}/certs/{key}", env!("CARGO_MANIFEST_DIR"))).expect("a key") else {
        panic!("PKCS#8")
    };
    let key = aws_lc_rs::signature::RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).expect("an RSA key");
    let mut signature = vec![0; key.public_modulus_len()];
    let random = aws_lc_rs::rand::SystemRandom::new();
    key.sign(&aws_lc_rs::signature::RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).expect("a signature");
    signature
}

/// An `EncryptedAssertion` of this text for `saml-sp`, or for a stranger.
pub(crate) fn encrypted(text: &str, method: &str, for_us: bool) -> String {
    use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, UnboundCipherKey};
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
    use aws_lc_rs::signature::KeyPair as _;
    let long = method.contains("256");
    let key = vec![7_u8; if long { 32 } else { 16 }];
    let mut content = text.as_bytes().to_vec();
    let sealed = if method.ends_with("gcm") {
        let algorithm = if long { &AES_256_GCM } else { &AES_128_GCM };
        let sealing = LessSafeKey::new(UnboundKey::new(algorithm, &key).expect("a key"));
        sealing.seal_in_place_append_tag(Nonce::assume_unique_for_key([9; 12]), Aad::empty(), &mut content).expect("sealed");
        [vec![9; 12], content].concat()
    } else {
        // ISO 10126: only the last byte of the padding says anything.
        let padding = 16 - content.len() % 16;
        content.extend(std::iter::repeat_n(0xee, padding - 1));
        content.push(u8::try_from(padding).expect("at most 16"));
        let algorithm = if long { &AES_256 } else { &AES_128 };
        let ecb = EncryptingKey::ecb(UnboundCipherKey::new(algorithm, &key).expect("a key")).expect("ECB");
        let mut sealed = vec![9_u8; 16];
        for block in content.chunks(16) {
            let mut mixed: Vec<u8> = block.iter().zip(&sealed[sealed.len() - 16..]).map(|(byte, before)| byte ^ before).collect();
            ecb.encrypt(&mut mixed).expect("a block");
            sealed.extend(mixed);
        }
        sealed
    };
    let name = if for_us { "saml-sp.key" } else { "saml-idp.key" };
    let PrivateKeyDer::Pkcs8(pkcs8) = PrivateKeyDer::from_pem_file(format!("{}/certs/{name}", env!("CARGO_MANIFEST_DIR"))).expect("a key") else {
        panic!("PKCS#8")
    };
    let pair = aws_lc_rs::signature::RsaKeyPair::from_pkcs8(pkcs8.secret_pkcs8_der()).expect("an RSA key");
    let public = pair.public_key().as_der().expect("a public key");
    let oaep = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(public.as_ref()).expect("a public key")).expect("OAEP");
    let mut wrapped = vec![0; oaep.ciphertext_size()];
    oaep.encrypt(&OAEP_SHA1_MGF1SHA1, &key, &mut wrapped, None).expect("wrapped");
    let space = if method.ends_with("gcm") { "http://www.w3.org/2009/xmlenc11#" } else { "http://www.w3.org/2001/04/xmlenc#" };
    let (wrapped, sealed) = (STANDARD.encode(wrapped), STANDARD.encode(sealed));
    format!(
        "<saml:EncryptedAssertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"><xenc:EncryptedData xmlns:xenc=\"http://www.w3.org/2001/04/xmlenc#\" \
         Type=\"http://www.w3.org/2001/04/xmlenc#Element\"><xenc:EncryptionMethod Algorithm=\"{space}{method}\"/><ds:KeyInfo \
         xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><xenc:EncryptedKey><xenc:EncryptionMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p\">\
         <ds:DigestMethod Algorithm=\"http://www.w3.org/2000/09/xmldsig#sha1\"/></xenc:EncryptionMethod><xenc:CipherData><xenc:CipherValue>{wrapped}\
         </xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo><xenc:CipherData><xenc:CipherValue>{sealed}</xenc:CipherValue></xenc:CipherData>\
         </xenc:EncryptedData></saml:EncryptedAssertion>"
    )
}
