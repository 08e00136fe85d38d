"""What our architectures are called in `keras.applications`, of those that Keras has too."""

KERAS = {
    "inception_v3_keras": "InceptionV3",
    "inception_resnet_v2_keras": "InceptionResNetV2",
    "nasnetamobile": "NASNetMobile",
    "nasnetalarge_keras": "NASNetLarge",
}
