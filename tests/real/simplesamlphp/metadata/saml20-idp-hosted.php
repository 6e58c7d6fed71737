<?php
$metadata['http://127.0.0.1:'.getenv('PORT').'/idp'] = [
    'host' => '__DEFAULT__',
    'privatekey' => 'saml-idp.key',
    'certificate' => 'saml-idp.pem',
    'auth' => 'people',
    'signature.algorithm' => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
    'attributes.NameFormat' => 'urn:oasis:names:tc:SAML:2.0:attrname-format:basic',
    'saml20.sign.response' => true,
    'saml20.sign.assertion' => true,
];
